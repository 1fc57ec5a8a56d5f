package org.aeraki.peers;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.rpc.RpcContext;

/** Serves the services that its JSON argument lists until it is killed; prints "ready" once it listens. */
public final class Provider {
    private static final Gson GSON = new Gson();

    private final String name;

    private Provider(String name) {
        this.name = name;
    }

    public static void main(String[] arguments) throws Exception {
        JsonObject settings = GSON.fromJson(arguments[0], JsonObject.class);
        Provider provider = new Provider(settings.get("name").getAsString());
        ApplicationConfig application = new ApplicationConfig(provider.name);
        application.setQosEnable(false);
        ProtocolConfig protocol = new ProtocolConfig("dubbo", settings.get("port").getAsInt());
        protocol.setHost(settings.get("host").getAsString());
        protocol.setPayload(64 * 1024 * 1024);
        for (var each : settings.getAsJsonArray("services")) {
            provider.export(each.getAsJsonObject(), settings, application, protocol);
        }
        System.out.println("ready");
        Thread.currentThread().join();
    }

    private <T> void export(
            JsonObject offered, JsonObject settings, ApplicationConfig application, ProtocolConfig protocol)
            throws ClassNotFoundException {
        @SuppressWarnings("unchecked")
        Class<T> type = (Class<T>) Class.forName(offered.get("interface").getAsString());
        String group = offered.get("group").getAsString();
        String version = offered.get("version").getAsString();
        ServiceConfig<T> service = new ServiceConfig<>();
        service.setApplication(application);
        service.setRegistry(new RegistryConfig("N/A"));
        service.setProtocol(protocol);
        service.setInterface(type);
        service.setRef(implementation(type, group, version));
        if (!group.isEmpty()) {
            service.setGroup(group);
        }
        if (!version.isEmpty()) {
            service.setVersion(version);
        }
        if (settings.has("heartbeat_ms")) {
            service.setParameters(Map.of("heartbeat", settings.get("heartbeat_ms").getAsString()));
        }
        service.export();
    }

    private <T> T implementation(Class<T> type, String group, String version) {
        return type.cast(Proxy.newProxyInstance(
                type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> {
                    if (method.getDeclaringClass() == Object.class) {
                        try {
                            return method.invoke(this, arguments);
                        } catch (InvocationTargetException failure) {
                            throw failure.getCause();
                        }
                    }
                    Map<String, Object> reply = new LinkedHashMap<>();
                    reply.put("server", name);
                    reply.put("interface", type.getName());
                    reply.put("group", group);
                    reply.put("version", version);
                    reply.put("method", method.getName());
                    reply.put("args", List.of(arguments));
                    reply.put("attachments", RpcContext.getContext().getAttachments());
                    return answer(reply, method.getName(), arguments);
                }));
    }

    private String answer(Map<String, Object> reply, String method, Object[] arguments) throws InterruptedException {
        switch (method) {
            case "fail":
                throw new IllegalStateException(name + ": " + arguments[0]);
            case "pause":
                Thread.sleep((Long) arguments[0]);
                break;
            case "payload":
                reply.put("payload", "x".repeat((Integer) arguments[0]));
                break;
            default:
        }
        return GSON.toJson(reply);
    }
}
