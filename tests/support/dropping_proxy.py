"""A TCP connection that breaks: forwards bytes to a server until it is told to reset both sides.

    with DroppingProxy("127.0.0.1:50051") as proxy:
        channel = grpc.insecure_channel(proxy.address)
        ...
        proxy.drop()      # RST to the client and to the server, in the middle of whatever they said
"""

import socket
import struct
import threading

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class DroppingProxy:
    def __init__(self, server):
        host, port = server.rsplit(":", 1)
        self._server = (host, int(port))
        self._lock = threading.Lock()
        self._sockets = set()
        self._closed = False

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closed = True
        # Closing alone does not wake up who waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.drop()

    def drop(self):
        """Resets every connection there is; later ones are forwarded again."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for end in sockets:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                # Wakes up the thread that reads from it, which closes it.
                end.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # its other side was faster

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            # Whichever direction ends first ends both; the linger of drop() makes it a reset.
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            source.close()
            with self._lock:
                self._sockets.discard(source)
