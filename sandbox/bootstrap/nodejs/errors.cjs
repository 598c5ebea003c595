// The shapes in which errors leave the runtime.
'use strict';

const { types } = require('util');

// RuntimeError is an error of loading or answering, named as AWS names it.
class RuntimeError extends Error {
  constructor(kind, message) {
    super(message);
    Object.defineProperty(this, 'name', { value: 'Runtime.' + kind });
    Error.captureStackTrace(this, RuntimeError); // its first line has the name
  }
}

function isError(value) {
  return types.isNativeError(value) || value instanceof Error ||
    (value !== null && typeof value === 'object' && typeof value.name === 'string' &&
      typeof value.message === 'string' && typeof value.stack === 'string');
}

// toResponse returns what the caller of the function gets to see.
function toResponse(error) {
  try {
    if (isError(error)) {
      return {
        errorType: String(error.name),
        errorMessage: String(error.message),
        trace: String(error.stack).split('\n'),
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
      trace: [],
    };
  }
}

// toLog returns the same for the log, with the properties that the error has.
function toLog(error) {
  try {
    return JSON.stringify(error, (_key, value) => {
      if (!isError(value)) return value;
      const shown = Object.assign({ errorType: value.name, errorMessage: value.message, code: value.code }, value);
      shown.stack = String(value.stack).split('\n');
      return shown;
    });
  } catch {
    return JSON.stringify(toResponse(error));
  }
}

module.exports = { RuntimeError, toResponse, toLog };
