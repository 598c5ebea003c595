package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signer makes whole requests to invoke functions. A signature holds for five
// minutes, so one request can be sent many times: signing is a client's cost,
// verifying the server's.
type signer struct {
	endpoint, region string
	who              aws.Credentials
}

// invocation renders a request. tail asks for the log with the answer.
func (s signer) invocation(function string, payload []byte, tail bool, now time.Time) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, s.endpoint+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if tail {
		r.Header.Set("X-Amz-Log-Type", "Tail")
	}
	sum := sha256.Sum256(payload)
	if err := v4.NewSigner().SignHTTP(context.Background(), s.who, r, hex.EncodeToString(sum[:]), "lambda", s.region, now); err != nil {
		return nil, err
	}
	return render(r, payload)
}

// render writes a request as it goes over the wire.
func render(r *http.Request, payload []byte) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.Method, r.URL.RequestURI(), r.URL.Host, len(payload))
	if err := r.Header.Write(&b); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	b.Write(payload)
	return b.Bytes(), nil
}
