// Response streaming: the global awslambda, and the stream that a streaming
// handler writes to.
'use strict';

const { Writable } = require('stream');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HTTP_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);

// ResponseStream begins the answer with the first byte written to it.
class ResponseStream extends Writable {
  constructor(open) {
    super({ highWaterMark: 64 << 10 });
    this.open = open;
    this.body = null;
    this.contentType = 'application/octet-stream';
    this.prelude = null;
  }

  setContentType(type) {
    this.contentType = type;
  }

  begin(done) {
    if (this.body) return done();
    this.body = this.open(this.contentType);
    if (!this.prelude) return done();
    return this.body.write(Buffer.concat([Buffer.from(this.prelude), PRELUDE_END]), done);
  }

  _write(chunk, _encoding, done) {
    this.begin((err) => (err ? done(err) : this.body.write(chunk, done)));
  }

  _final(done) {
    this.begin(done);
  }
}

class HttpResponseStream {
  // from makes what is written to stream the body of an HTTP answer.
  static from(stream, prelude) {
    stream.setContentType(HTTP_TYPE);
    stream.prelude = JSON.stringify(prelude || {});
    return stream;
  }
}

function install() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (options && options.highWaterMark !== undefined) {
        handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = options.highWaterMark;
      }
      return handler;
    },
    HttpResponseStream,
  };
}

function isStreaming(handler) {
  return handler[STREAMING] === 'response';
}

module.exports = { ResponseStream, install, isStreaming };
