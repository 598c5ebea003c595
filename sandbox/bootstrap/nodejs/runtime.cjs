// The loop: ask for an invocation, run the handler, answer.
'use strict';

const { Context } = require('./context.cjs');
const { RuntimeError, toLog, toResponse } = require('./errors.cjs');
const { Client } = require('./client.cjs');
const log = require('./console.cjs');
const { ResponseStream, isStreaming } = require('./streaming.cjs');

const API = '/2018-06-01/runtime/';
const JSON_TYPE = { 'Content-Type': 'application/json' };

class Runtime {
  constructor(client) {
    this.client = client;
    this.handler = null;
    this.current = null; // the request id of the running invocation
    this.idle = null; // called when the event loop is empty during one
    this.dying = false;
  }

  // guard makes errors that nobody caught end the process, after the caller
  // has been told.
  guard() {
    process.on('uncaughtException', (err) => this.die('Uncaught Exception', err, 129));
    process.on('unhandledRejection', (reason) => {
      const err = new RuntimeError('UnhandledPromiseRejection', String(reason));
      err.reason = reason;
      this.die('Unhandled Promise Rejection', err, 128);
    });
    process.on('beforeExit', () => {
      const { idle } = this;
      this.idle = null;
      if (idle) idle();
    });
  }

  // die reports err, as the running invocation's or as initialisation's.
  die(title, err, code) {
    if (this.dying) return;
    this.dying = true;
    console.error(title, '\t' + toLog(err));
    const exit = () => process.exit(code);
    const path = this.current ? `invocation/${this.current}/error` : this.handler ? '' : 'init/error';
    if (!path) return exit();
    // A connection of its own: the other may be in the middle of something.
    this.postError(new Client(this.client.address), path, err).then(exit, exit);
  }

  postError(client, path, err) {
    const body = toResponse(err);
    const type = body.errorType.replace(/[^\x20-\x7e]/g, '?');
    return client.request('POST', API + path,
      { ...JSON_TYPE, 'Lambda-Runtime-Function-Error-Type': type }, Buffer.from(JSON.stringify(body)));
  }

  async run() {
    for (;;) {
      const next = await this.client.request('GET', API + 'invocation/next');
      if (next.status !== 200) throw new Error(`the Runtime API answered ${next.status} to next`);
      this.client.rest();
      await this.invoke(next);
    }
  }

  async invoke({ headers, body }) {
    const id = headers['lambda-runtime-aws-request-id'];
    this.current = id;
    log.state.requestId = id;
    const trace = headers['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    else delete process.env._X_AMZN_TRACE_ID;

    let result;
    try {
      const event = JSON.parse(body.utf8Slice());
      const context = new Context(headers, process.env);
      if (isStreaming(this.handler)) {
        await this.stream(id, event, context);
        this.current = null;
        return;
      }
      result = encode(await this.call(event, context));
    } catch (err) {
      console.error('Invoke Error', '\t' + toLog(err));
      if (this.dying) return this.forever();
      await this.postError(this.client, `invocation/${id}/error`, err);
      this.current = null;
      return;
    }
    if (this.dying) return this.forever();
    await this.client.request('POST', `${API}invocation/${id}/response`, JSON_TYPE, result);
    this.current = null;
  }

  // forever leaves the rest to die.
  forever() {
    return new Promise(() => {});
  }

  // call runs the handler and resolves to its result, however it gives it:
  // with a promise, or with a callback, whose result counts when the event
  // loop is empty unless the handler does not want to wait for that.
  call(event, context) {
    return new Promise((resolve, reject) => {
      let outcome = null;
      const settle = () => {
        this.idle = null;
        if (outcome && outcome.err !== undefined && outcome.err !== null) reject(outcome.err);
        else resolve(outcome ? outcome.data : null);
      };
      this.idle = settle; // nothing left that could ever answer
      const callback = (err, data) => {
        if (outcome) return;
        outcome = { err, data };
        if (!context.callbackWaitsForEmptyEventLoop) setImmediate(settle);
      };
      context.done = (err, data) => {
        context.callbackWaitsForEmptyEventLoop = false;
        callback(err, data);
      };
      context.succeed = (data) => context.done(null, data);
      context.fail = (err) => context.done(err === undefined || err === null ? 'handled' : err);

      let returned;
      try {
        returned = this.handler(event, context, callback);
      } catch (err) {
        context.fail(err);
        return;
      }
      if (returned !== null && returned !== undefined && typeof returned.then === 'function') {
        returned.then((data) => { if (!outcome) { outcome = { data }; settle(); } },
          (err) => { if (!outcome) { outcome = { err: err === undefined || err === null ? 'handled' : err }; settle(); } });
      }
    });
  }

  // stream runs a streaming handler. An error after the first byte goes into
  // the trailers.
  async stream(id, event, context) {
    const out = new ResponseStream((contentType) => this.client.stream(`${API}invocation/${id}/response`, {
      'Content-Type': contentType,
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    }));
    try {
      const finished = new Promise((resolve, reject) => {
        out.on('finish', resolve);
        out.on('error', reject);
        this.idle = () => reject(new RuntimeError('StreamingHandlerNotFinished', 'The response stream was not ended'));
      });
      finished.catch(() => {});
      await this.handler(event, out, context);
      await finished;
    } catch (err) {
      if (!out.body) throw err;
      console.error('Invoke Error', '\t' + toLog(err));
      const shape = toResponse(err);
      await out.body.end({
        'Lambda-Runtime-Function-Error-Type': shape.errorType.replace(/[^\x20-\x7e]/g, '?'),
        'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(shape)).toString('base64'),
      });
      return;
    } finally {
      this.idle = null;
    }
    await out.body.end({});
  }
}

function encode(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (err) {
    throw new RuntimeError('MarshalError', `Unable to stringify response body: ${err.message.split('\n')[0]}`);
  }
  return Buffer.from(text === undefined ? 'null' : text);
}

module.exports = { Runtime };
