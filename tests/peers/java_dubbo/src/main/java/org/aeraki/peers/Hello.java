package org.aeraki.peers;

public interface Hello extends Echo {}
