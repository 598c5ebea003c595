// Package sigv4 verifies AWS Signature Version 4 on incoming requests.
//
// In comes an *http.Request with an Authorization header or with a presigned
// query; out comes the Identity that signed it, or an *Error with the code that
// AWS answers. Verification has two steps, so that nothing large is read for
// somebody unknown: Begin checks everything that can be checked without the
// body (form, scope, clock, key), and Signed.Verify checks the signature once
// the body has been read.
//
// Guarantees: the body, the method, the path, the query and every signed
// header are covered; host and all x-amz-* headers must be signed; signatures
// are compared in constant time; unsigned and streaming payloads are refused,
// as AWS refuses them for Lambda; derived keys are cached in a bounded map.
//
// The canonical form is that of services other than S3: each path segment is
// encoded twice. The tests sign with the AWS SDK's own signer and fuzz the
// parsers.
package sigv4
