package io.chorale.process;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** What a Service is to its clients: connections go in turn to the replicas in it, and bytes go both ways. */
final class Proxy implements AutoCloseable {
    private final ServerSocket listening = new ServerSocket(0, 256, InetAddress.getLoopbackAddress());
    private final List<Integer> replicas = new CopyOnWriteArrayList<>();
    private final AtomicInteger turn = new AtomicInteger();
    final int port = listening.getLocalPort();

    Proxy() throws IOException {
        Thread.ofVirtual().start(this::accept);
    }

    void add(Server server) {
        replicas.add(server.port);
    }

    /** Connections that there are stay. */
    void remove(Server server) {
        replicas.remove((Integer) server.port);
    }

    private void accept() {
        while (!listening.isClosed()) {
            try {
                Socket client = listening.accept();
                Integer[] to = replicas.toArray(Integer[]::new);
                Socket server = new Socket(InetAddress.getLoopbackAddress(), to[turn.getAndIncrement() % to.length]);
                Thread.ofVirtual().start(() -> pass(client, server));
                Thread.ofVirtual().start(() -> pass(server, client));
            } catch (IOException closed) {
                // The end, or a replica that does not answer: the client's connection says so.
            }
        }
    }

    private static void pass(Socket from, Socket to) {
        try (from;
                to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            in.transferTo(out);
        } catch (IOException broken) {
            // Both are closed.
        }
    }

    @Override
    public void close() throws IOException {
        listening.close();
    }
}
