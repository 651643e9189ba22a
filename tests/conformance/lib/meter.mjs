import net from 'node:net';

/** A TCP proxy in front of `server` that counts the bytes both ways, as they are on the wire. */
export async function startMeter(server) {
  const sockets = new Set();
  const meter = { up: 0, down: 0 };

  const proxy = net.createServer((client) => {
    const upstream = net.connect(server.port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', (chunk) => (meter.up += chunk.length));
    upstream.on('data', (chunk) => (meter.down += chunk.length));
    client.pipe(upstream).pipe(client);
  });

  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address();
  return Object.assign(meter, {
    url: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}`,
    /** What passes while `run` does its work. */
    async during(run) {
      const { up, down } = meter;
      await run();
      return { up: meter.up - up, down: meter.down - down };
    },
    close() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  });
}
