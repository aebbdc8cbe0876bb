// A relay between a client and a server on this machine, which a test can cut.

import net from 'node:net';

export class Relay {
  #server;
  #sockets = new Set();
  #isDown = false;
  #cutAfter = Infinity;
  #stayDown = false;
  #taken;
  cuts = 0;
  /** What came through of the event stream that was cut, as HTTP has it. */
  passed = '';

  static async to(url) {
    const relay = new Relay();
    const {hostname, port} = new URL(url);
    relay.#server = net.createServer(client => relay.#join(client, net.connect(Number(port), hostname)));
    await new Promise(resolve => relay.#server.listen(0, '127.0.0.1', resolve));
    relay.url = `http://127.0.0.1:${relay.#server.address().port}/`;
    return relay;
  }

  /**
   * Cuts the first event stream that has passed this many bytes; then answers no more, or as if nothing had been. The cut waits until
   * what has passed is taken: a browser throws away what it has received but not yet read when a connection breaks.
   */
  cutAfter(bytes, {stayDown = false, taken = async () => {}} = {}) {
    this.#cutAfter = bytes;
    this.#stayDown = stayDown;
    this.#taken = taken;
  }

  down() {
    this.#isDown = true;
    this.#sockets.forEach(socket => socket.destroy());
  }

  up() {
    this.#isDown = false;
  }

  async close() {
    this.down();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #join(client, server) {
    for (const [one, other] of [[client, server], [server, client]]) {
      this.#sockets.add(one);
      one.on('error', () => {}); // a cut is no surprise here
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    if (this.#isDown) {
      client.destroy();
      return;
    }
    client.pipe(server);
    const stream = [];
    let streamed = 0;
    server.on('data', bytes => {
      if (streamed > 0 || bytes.includes('text/event-stream')) {
        stream.push(bytes);
        streamed += bytes.length;
      }
      if (streamed < this.#cutAfter) {
        client.write(bytes);
        return;
      }
      // A part of the chunk still passes, so that the cut falls into the middle of an event; nothing that came before it
      // is lost with the socket, and nothing follows.
      server.pause();
      const part = bytes.subarray(0, bytes.length - Math.min(bytes.length, streamed - this.#cutAfter));
      client.write(part, async () => {
        await this.#taken();
        this.cuts++;
        if (this.#stayDown) this.down();
        else client.destroy();
      });
      this.passed = Buffer.concat(stream).subarray(0, this.#cutAfter).toString();
      this.#cutAfter = Infinity;
    });
  }
}
