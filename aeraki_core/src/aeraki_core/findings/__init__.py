"""What is wrong with the configuration: findings, their codes, and where they stand."""
