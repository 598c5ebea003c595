package frontend_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// other runs another client of the Lambda API against the rig.
func (g *rig) other(name string, args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = g.t.TempDir()
	cmd.Env = append(os.Environ(),
		"AWS_ENDPOINT_URL_LAMBDA="+g.url, "AWS_ACCESS_KEY_ID="+adminKey, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN=",
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
	)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

const boto3Script = `
import base64, boto3, io, json, sys, zipfile
c = boto3.client("lambda")
buffer = io.BytesIO()
with zipfile.ZipFile(buffer, "w") as z:
    z.writestr("handler.py", "def handler(e, c): return e")
arn = c.create_function(FunctionName="f", Runtime="python3.12", Handler="handler.handler", Role=sys.argv[1],
    Code={"ZipFile": buffer.getvalue()}, Environment={"Variables": {"KEY": "ü"}}, Tags={"a": "b"})["FunctionArn"]
c.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
r = c.invoke(FunctionName=arn, Payload=json.dumps({"text": "ü", "n": 1}), LogType="Tail",
    ClientContext=base64.b64encode(b'{"custom":{}}').decode(), Qualifier="$LATEST")
assert json.loads(r["Payload"].read()) == {"text": "ü", "n": 1}, r
assert base64.b64decode(r["LogResult"]).startswith(b"START RequestId: " + r["ResponseMetadata"]["RequestId"].encode()), r
assert c.list_tags(Resource=arn)["Tags"] == {"a": "b"}
c.update_function_configuration(FunctionName="f", Timeout=9)
try:
    c.update_function_configuration(FunctionName="f", Timeout=10)
    raise SystemExit("two updates at once")
except c.exceptions.ResourceConflictException:
    pass
c.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
assert c.publish_version(FunctionName="f")["Version"] == "1"
alias = c.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
c.update_function_configuration(FunctionName="f", Description="two")
c.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
assert c.publish_version(FunctionName="f", Description="second")["Version"] == "2"
assert [v["Version"] for v in c.list_versions_by_function(FunctionName="f")["Versions"]] == ["$LATEST", "1", "2"]
changed = c.update_alias(FunctionName="f", Name="live", RevisionId=alias["RevisionId"], RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})
assert c.get_alias(FunctionName="f", Name="live")["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}, changed
try:
    c.update_alias(FunctionName="f", Name="live", RevisionId=alias["RevisionId"])
    raise SystemExit("took a stale revision")
except c.exceptions.PreconditionFailedException:
    pass
assert [a["Name"] for a in c.list_aliases(FunctionName="f", FunctionVersion="2")["Aliases"]] == ["live"]
c.create_alias(FunctionName="f", Name="old", FunctionVersion="1")
c.delete_alias(FunctionName="f", Name="old")
c.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
settings = c.get_account_settings()
assert settings["AccountLimit"]["ConcurrentExecutions"] == 1000 and settings["AccountUsage"]["FunctionCount"] == 1, settings
assert "CodeSigningConfigArn" not in c.get_function_code_signing_config(FunctionName="f")
assert c.get_runtime_management_config(FunctionName="f", Qualifier="1")["UpdateRuntimeOn"] == "Auto"
assert c.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Terminate"
c.tag_resource(Resource=arn, Tags={"c": "d"})
c.untag_resource(Resource=arn, TagKeys=["a"])
assert c.list_tags(Resource=arn)["Tags"] == {"c": "d"} == c.get_function(FunctionName="f:live")["Tags"]
west = boto3.client("lambda", region_name="eu-west-1")
assert west.get_function(FunctionName="f")["Configuration"]["FunctionArn"] == arn.replace("eu-central-1", "eu-west-1")
assert c.invoke(FunctionName=arn + ":live")["ExecutedVersion"] == "1"
assert [f["FunctionArn"] for p in c.get_paginator("list_functions").paginate() for f in p["Functions"]] == [arn]
try:
    c.get_function(FunctionName="none")
    raise SystemExit("found a function that is not there")
except c.exceptions.ResourceNotFoundException as e:
    assert e.response["Error"]["Message"].startswith("Function not found: "), e.response
try:
    c.invoke(FunctionName="f", Payload=b"{")
    raise SystemExit("took half an object")
except c.exceptions.InvalidRequestContentException as e:
    assert e.response["Type"] == "User"
url = c.generate_presigned_url("get_function_configuration", Params={"FunctionName": "f"})
import urllib.request
assert json.load(urllib.request.urlopen(url))["FunctionArn"] == arn
import time, urllib.error
expired = c.generate_presigned_url("get_function_configuration", Params={"FunctionName": "f"}, ExpiresIn=1)
time.sleep(2.1)
try:
    urllib.request.urlopen(expired)
    raise SystemExit("took an expired URL")
except urllib.error.HTTPError as e:
    assert e.code == 403 and e.headers["x-amzn-ErrorType"] == "InvalidSignatureException", (e.code, e.headers)
    message = json.load(e)["message"]
    assert message.startswith("Signature expired: ") and " is now earlier than " in message, message
c.delete_function(FunctionName="f")
print("done")
`

func TestBoto3(t *testing.T) {
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("SKIPPED: boto3 is not installed")
	}
	g := newRig(t)
	if out := g.other("python3", "-c", boto3Script, role); !strings.HasSuffix(out, "done\n") {
		t.Error(out)
	}
}

func TestAWSCommand(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("SKIPPED: the aws command is not installed")
	}
	g := newRig(t)
	zip := filepath.Join(t.TempDir(), "f.zip")
	if err := os.WriteFile(zip, packed(t, "handler.py", "def handler(e, c): return e"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.other("aws", "lambda", "create-function", "--function-name", "f", "--runtime", "python3.12", "--handler", "handler.handler", "--role", role, "--zip-file", "fileb://"+zip)
	event := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(event, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := filepath.Join(t.TempDir(), "out.json")
	out := g.other("aws", "lambda", "invoke", "--function-name", prefix+"f", "--payload", "fileb://"+event, answer)
	if payload, _ := os.ReadFile(answer); string(payload) != `{"a":1}` || !strings.Contains(out, "$LATEST") {
		t.Errorf("%s\n%s", out, payload)
	}
	if out := g.other("aws", "lambda", "list-functions", "--query", "Functions[].FunctionName", "--output", "text"); strings.TrimSpace(out) != "f" {
		t.Error(out)
	}
	g.other("aws", "lambda", "delete-function", "--function-name", "f")
}
