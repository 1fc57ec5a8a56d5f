package org.aeraki.peers;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/** The same call again and again from several threads, with counts of who answered and of what failed how. */
final class Load {
    private static final Gson GSON = new Gson();

    private final Counts all = new Counts();
    private final AtomicBoolean stopped = new AtomicBoolean();
    private final List<Thread> threads = new ArrayList<>();
    private volatile Counts recent = new Counts();

    Load(Consumer consumer, JsonObject command) {
        // The number of calls still to make; without "calls" it goes on until stopped.
        AtomicLong left = new AtomicLong(command.has("calls") ? command.get("calls").getAsLong() : Long.MAX_VALUE);
        long pause = command.has("pause_ms") ? command.get("pause_ms").getAsLong() : 0;
        for (int i = 0; i < command.get("threads").getAsInt(); i++) {
            Thread thread = new Thread(() -> {
                while (!stopped.get() && left.getAndDecrement() > 0) {
                    Counts begun = recent;
                    JsonObject answer = consumer.call(command);
                    all.count(answer);
                    begun.count(answer);
                    sleep(pause);
                }
            });
            threads.add(thread);
            thread.start();
        }
    }

    private static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException nobodyDoes) {
            throw new IllegalStateException(nobodyDoes);
        }
    }

    /** From now on {@link #recent} counts the calls that begin after this one. */
    JsonObject mark() {
        recent = new Counts();
        return new JsonObject();
    }

    JsonObject recent() {
        return recent.json();
    }

    JsonObject counts() {
        return all.json();
    }

    JsonObject stop() throws InterruptedException {
        stopped.set(true);
        return await();
    }

    JsonObject await() throws InterruptedException {
        for (Thread thread : threads) {
            thread.join();
        }
        return counts();
    }

    private static final class Counts {
        private final Map<String, AtomicLong> servers = new ConcurrentHashMap<>();
        private final Map<String, AtomicLong> errors = new ConcurrentHashMap<>();

        void count(JsonObject answer) {
            if (answer.has("error")) {
                String message = answer.get("message").getAsString();
                increment(errors, message.substring(0, Math.min(300, message.length())));
            } else {
                JsonObject reply = GSON.fromJson(answer.get("reply").getAsString(), JsonObject.class);
                increment(servers, reply.get("server").getAsString());
            }
        }

        private static void increment(Map<String, AtomicLong> counts, String key) {
            counts.computeIfAbsent(key, any -> new AtomicLong()).incrementAndGet();
        }

        JsonObject json() {
            JsonObject answer = new JsonObject();
            answer.add("servers", GSON.toJsonTree(servers));
            answer.add("errors", GSON.toJsonTree(errors));
            return answer;
        }
    }
}
