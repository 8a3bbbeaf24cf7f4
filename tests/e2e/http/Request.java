// Three requests by java.net.http through a proxy: the second and third with content.
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;

public class Request {
    public static void main(String[] arguments) throws Exception {
        var gateway = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var client = HttpClient.newBuilder().proxy(ProxySelector.of(gateway)).build();
        List<String> told = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            var request = HttpRequest.newBuilder(URI.create(arguments[1] + "?" + i));
            if (i > 0) {
                request.POST(BodyPublishers.ofString("j".repeat(i * 100_000)));
            }
            told.add(client.send(request.build(), BodyHandlers.ofString()).body());
        }
        System.out.println("[" + String.join(",", told) + "]");
    }
}
