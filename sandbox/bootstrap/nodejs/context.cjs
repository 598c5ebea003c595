// The context object of an invocation.
'use strict';

class Context {
  constructor(headers, env) {
    this.callbackWaitsForEmptyEventLoop = true;
    this.functionVersion = env.AWS_LAMBDA_FUNCTION_VERSION;
    this.functionName = env.AWS_LAMBDA_FUNCTION_NAME;
    this.memoryLimitInMB = env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE;
    this.logGroupName = env.AWS_LAMBDA_LOG_GROUP_NAME;
    this.logStreamName = env.AWS_LAMBDA_LOG_STREAM_NAME;
    this.clientContext = parse(headers['lambda-runtime-client-context']);
    this.identity = parse(headers['lambda-runtime-cognito-identity']);
    this.invokedFunctionArn = headers['lambda-runtime-invoked-function-arn'];
    this.awsRequestId = headers['lambda-runtime-aws-request-id'];
    const deadline = Number(headers['lambda-runtime-deadline-ms']);
    this.getRemainingTimeInMillis = () => Math.max(0, deadline - Date.now());
  }
}

function parse(text) {
  return text ? JSON.parse(text) : undefined;
}

module.exports = { Context };
