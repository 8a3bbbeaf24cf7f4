// A Java client of an HTTPS proxy. HttpClient speaks TLS to no proxy, so JSSE does: CONNECT on an SSLSocket.
// usage: java ProxyGet.java PORT HOST PORT PATH STORE PASSWORD; the store has the CA and the client's key (PKCS12)
import java.io.FileInputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class ProxyGet {
    public static void main(String[] words) throws Exception {
        char[] password = words[5].toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(new FileInputStream(words[4]), password);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, password);
        TrustManagerFactory trusted = TrustManagerFactory.getInstance("PKIX");
        trusted.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trusted.getTrustManagers(), null);
        int port = Integer.parseInt(words[0]);
        try (SSLSocket gateway = (SSLSocket) context.getSocketFactory().createSocket("localhost", port)) {
            String target = words[1] + ":" + words[2];
            say(gateway, "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n");
            StringBuilder head = new StringBuilder();
            while (head.indexOf("\r\n\r\n") < 0) {
                head.append((char) gateway.getInputStream().read());
            }
            if (!head.toString().startsWith("HTTP/1.1 200 ")) {
                System.out.print("refused: " + head);
                System.exit(3);
            }
            say(gateway, "GET " + words[3] + " HTTP/1.0\r\nHost: " + target + "\r\n\r\n");
            String page = new String(gateway.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            System.out.print(page.substring(page.indexOf("\r\n\r\n") + 4));
        }
    }

    private static void say(SSLSocket socket, String text) throws Exception {
        socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
    }
}
