export const handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  callback(null, event);
};
