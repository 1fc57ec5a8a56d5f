package org.aeraki.peers;

/** Every method answers with JSON that says who answered and what arrived, as the Python server does. */
public interface Echo {
    String sayHello(String text);

    String sayBye(String text);

    String echo(String text, int number);

    String payload(int size);

    String pause(long millis);

    String fail(String text);
}
