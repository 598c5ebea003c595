package frontend_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestLifeOfAFunction(t *testing.T) {
	g := newRig(t)
	ctx := t.Context()
	in := creation(t, "f")
	in.Environment = &types.Environment{Variables: map[string]string{"KEY": "1"}}
	created, err := g.CreateFunction(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(in.Code.ZipFile)
	if created.State != types.StatePending || *created.StateReason != "The function is being created." || created.StateReasonCode != types.StateReasonCodeCreating ||
		created.LastUpdateStatus != "" || *created.FunctionArn != prefix+"f" || *created.Version != "$LATEST" ||
		*created.CodeSha256 != base64.StdEncoding.EncodeToString(sum[:]) || created.CodeSize != int64(len(in.Code.ZipFile)) {
		t.Errorf("created: %+v", created)
	}
	g.settled("f")
	got, err := g.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	if err != nil {
		t.Fatal(err)
	}
	c := got.Configuration
	if c.State != types.StateActive || c.StateReason != nil || c.LastUpdateStatus != types.LastUpdateStatusSuccessful || *c.RevisionId == *created.RevisionId {
		t.Errorf("active: %+v", c)
	}
	answer, err := http.Get(*got.Code.Location)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if zip, _ := io.ReadAll(answer.Body); !bytes.Equal(zip, in.Code.ZipFile) {
		t.Errorf("the location answers %s with %d bytes", answer.Status, len(zip))
	}

	out, err := g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Payload) != `{"a":1}` || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" || out.FunctionError != nil || out.LogResult == nil {
		t.Errorf("invoked: %+v", out)
	}

	if _, err := g.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	_, err = g.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+prefix+"f")
	_, err = g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+prefix+"f:$LATEST")
}
