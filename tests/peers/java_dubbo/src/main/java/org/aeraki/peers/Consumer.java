package org.aeraki.peers;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.RpcException;

/**
 * Calls one interface at one address. A command is a line of JSON on stdin, its answer a line of JSON on stdout, so
 * that many calls share one JVM and its connections.
 */
public final class Consumer {
    private static final Gson GSON = new Gson();

    private final Class<?> type;
    private final Object reference;

    private Consumer(JsonObject settings) throws ClassNotFoundException {
        type = Class.forName(settings.get("interface").getAsString());
        ApplicationConfig application = new ApplicationConfig("consumer");
        application.setQosEnable(false);
        ReferenceConfig<Object> config = new ReferenceConfig<>();
        config.setApplication(application);
        config.setInterface(type);
        String url = "dubbo://" + settings.get("address").getAsString() + "/" + type.getName()
                + "?payload=" + 64 * 1024 * 1024;
        if (settings.has("heartbeat_ms")) {
            url += "&heartbeat=" + settings.get("heartbeat_ms").getAsString();
        }
        config.setUrl(url);
        config.setTimeout(settings.get("timeout_ms").getAsInt());
        config.setConnections(settings.get("connections").getAsInt());
        // A test counts what fails: no retry may hide it, and a dead provider is no reason not to start.
        config.setRetries(0);
        config.setCheck(false);
        if (settings.has("group")) {
            config.setGroup(settings.get("group").getAsString());
        }
        if (settings.has("version")) {
            config.setVersion(settings.get("version").getAsString());
        }
        reference = config.get();
    }

    public static void main(String[] arguments) throws Exception {
        // Dubbo prints banners of its own: stdout belongs to the answers.
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Consumer consumer = new Consumer(GSON.fromJson(arguments[0], JsonObject.class));
        answers.println("{\"ready\": true}");
        var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Load load = null;
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            JsonObject command = GSON.fromJson(line, JsonObject.class);
            JsonObject answer;
            switch (command.get("do").getAsString()) {
                case "call":
                    answer = consumer.call(command);
                    break;
                case "load-start":
                    load = new Load(consumer, command);
                    answer = new JsonObject();
                    break;
                case "load-counts":
                    answer = load.counts();
                    break;
                case "load-mark":
                    answer = load.mark();
                    break;
                case "load-recent":
                    answer = load.recent();
                    break;
                case "load-stop":
                    answer = load.stop();
                    break;
                case "load-wait":
                    answer = load.await();
                    break;
                default:
                    throw new IllegalArgumentException(line);
            }
            answers.println(GSON.toJson(answer));
        }
        System.exit(0);
    }

    /** The answer, or the error as a user of Dubbo would see it. */
    JsonObject call(JsonObject command) {
        JsonObject answer = new JsonObject();
        try {
            // Dubbo 2.7 keeps those of the thread's last call when that failed.
            RpcContext.getContext().clearAttachments();
            for (var each : command.getAsJsonObject("attachments").entrySet()) {
                RpcContext.getContext().setAttachment(each.getKey(), each.getValue().getAsString());
            }
            Method method = method(command.get("method").getAsString());
            Object reply = method.invoke(reference, arguments(method, command.getAsJsonArray("args")));
            answer.addProperty("reply", (String) reply);
        } catch (InvocationTargetException failure) {
            Throwable cause = failure.getCause();
            answer.addProperty("error", cause.getClass().getSimpleName());
            answer.addProperty("message", String.valueOf(cause.getMessage()));
            if (cause instanceof RpcException) {
                answer.addProperty("code", ((RpcException) cause).getCode());
            }
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
        return answer;
    }

    private Method method(String name) {
        return Arrays.stream(type.getMethods())
                .filter(each -> each.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no method " + name));
    }

    private static Object[] arguments(Method method, JsonArray given) {
        Class<?>[] types = method.getParameterTypes();
        Object[] arguments = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            arguments[i] = GSON.fromJson(given.get(i), types[i]);
        }
        return arguments;
    }
}
