// A client of the Runtime API: HTTP/1.1 on one connection, one request at a
// time. It is written on sockets because the http module takes longer to load
// and to run; it understands what our server sends (every answer has a length).
'use strict';

const net = require('net');

const HEAD_END = Buffer.from('\r\n\r\n');

class Client {
  constructor(address) {
    const colon = address.lastIndexOf(':');
    this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    this.port = Number(address.slice(colon + 1));
    this.address = address;
    this.socket = null;
    this.waiting = null;
  }

  // request resolves to {status, headers, body}. It tries once more if a kept
  // connection turns out to be closed.
  async request(method, path, headers, body) {
    const head = this.head(method, path, headers, body ? body.length : method === 'POST' ? 0 : -1);
    const kept = this.socket !== null;
    try {
      return await this.exchange(head, body);
    } catch (err) {
      if (!kept) throw err;
      return this.exchange(head, body);
    }
  }

  head(method, path, headers, length) {
    let head = `${method} ${path} HTTP/1.1\r\nHost: ${this.address}\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    if (length >= 0) head += `Content-Length: ${length}\r\n`;
    return head + '\r\n';
  }

  exchange(head, body) {
    return new Promise((resolve, reject) => {
      const socket = this.connect();
      this.waiting = { resolve, reject };
      socket.ref();
      socket.cork();
      socket.write(head, 'latin1');
      if (body && body.length > 0) socket.write(body);
      socket.uncork();
    });
  }

  // stream sends a request whose body comes in pieces. It returns write(chunk,
  // done) and end(trailers), which resolves like request.
  stream(path, headers) {
    const socket = this.connect();
    socket.unref(); // what the sender does keeps the process alive, or nothing does
    const answer = new Promise((resolve, reject) => { this.waiting = { resolve, reject }; });
    answer.catch(() => {}); // whoever calls end gets it
    socket.write(this.head('POST', path, { ...headers, 'Transfer-Encoding': 'chunked' }, -1), 'latin1');
    return {
      write(chunk, done) {
        if (chunk.length === 0) return done();
        socket.cork();
        socket.write(chunk.length.toString(16) + '\r\n', 'latin1');
        socket.write(chunk);
        socket.write('\r\n', 'latin1', done);
        socket.uncork();
      },
      end(trailers) {
        let last = '0\r\n';
        socket.ref();
        for (const name in trailers) last += `${name}: ${trailers[name]}\r\n`;
        socket.write(last + '\r\n', 'latin1');
        return answer;
      },
    };
  }

  // rest lets the process end, and beforeExit fire, in spite of the connection.
  rest() {
    if (this.socket) this.socket.unref();
  }

  connect() {
    if (this.socket) return this.socket;
    const socket = net.connect({ host: this.host, port: this.port, noDelay: true });
    const reader = new Reader((answer) => this.settle(null, answer));
    let failure = null;
    socket.on('data', (chunk) => reader.push(chunk));
    socket.on('error', (err) => { failure = err; });
    socket.on('close', () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.settle(failure || new Error('the Runtime API closed the connection'));
    });
    this.socket = socket;
    return socket;
  }

  settle(err, answer) {
    const waiting = this.waiting;
    this.waiting = null;
    if (!waiting) return;
    if (err) waiting.reject(err);
    else waiting.resolve(answer);
  }
}

// Reader puts answers together from the pieces in which they arrive.
class Reader {
  constructor(deliver) {
    this.deliver = deliver;
    this.pending = null; // bytes of an incomplete head
    this.answer = null; // an answer whose body is incomplete
    this.filled = 0;
  }

  push(chunk) {
    while (chunk.length > 0) {
      if (!this.answer) {
        if (this.pending) chunk = Buffer.concat([this.pending, chunk]);
        const end = chunk.indexOf(HEAD_END);
        if (end < 0) {
          this.pending = chunk;
          return;
        }
        this.pending = null;
        this.answer = parseHead(chunk.latin1Slice(0, end));
        this.filled = 0;
        chunk = chunk.subarray(end + 4);
      }
      chunk = this.fill(chunk);
    }
  }

  fill(chunk) {
    const { answer } = this;
    if (this.filled === 0 && chunk.length >= answer.length) {
      answer.body = chunk.subarray(0, answer.length);
      chunk = chunk.subarray(answer.length);
    } else {
      if (!answer.body) answer.body = Buffer.allocUnsafe(answer.length);
      const n = chunk.copy(answer.body, this.filled);
      this.filled += n;
      if (this.filled < answer.length) return chunk.subarray(n);
      chunk = chunk.subarray(n);
    }
    this.answer = null;
    this.deliver(answer);
    return chunk;
  }
}

function parseHead(text) {
  const lines = text.split('\r\n');
  const answer = { status: Number(lines[0].slice(9, 12)), headers: {}, length: 0, body: null };
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(':');
    answer.headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
  }
  answer.length = Number(answer.headers['content-length']) || 0;
  return answer;
}

module.exports = { Client, Reader };
