package org.aeraki.peers;

/** A second interface on the same port, for routes by interface. */
public interface Other extends Echo {}
