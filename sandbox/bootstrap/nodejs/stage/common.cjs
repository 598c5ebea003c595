'use strict';

exports.handler = async (event, context) => ({ event, left: context.getRemainingTimeInMillis() });
