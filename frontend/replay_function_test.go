package frontend_test

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestReplayFunctions(t *testing.T) {
	const conf, code = "/configuration", "/code"
	replayAll(t, "api.json", map[string]func(p *replay){
		"TestLambdaFunction::test_function_lifecycle": func(p *replay) {
			p.same("create_response", p.call("POST", functions, helper(t, "f", "MemorySize", 256, "Timeout", 5)))
			p.active("f")
			p.same("get_function_response", p.call("GET", fn("f"), nil))
			p.same("update_func_conf_response", p.call("PUT", fn("f", conf), object{"Runtime": "python3.11", "Description": "Changed-Description", "MemorySize": 512, "Timeout": 10, "Environment": object{"Variables": object{"ENV_A": "a"}}}))
			p.active("f")
			p.same("get_function_response_postupdate", p.call("GET", fn("f"), nil))
			p.same("update_code_response", p.call("PUT", fn("f", code), object{"ZipFile": packed(t, "handler.py", "new")}))
			p.active("f")
			p.same("get_function_response_postcodeupdate", p.call("GET", fn("f"), nil))
			p.same("delete_response", p.call("DELETE", fn("f"), nil))
			p.same("delete_postdelete", p.call("DELETE", fn("f"), nil))
		},
		"TestLambdaFunction::test_redundant_updates": func(p *replay) {
			p.same("create_response", p.call("POST", functions, helper(t, "f", "Description", "Initial description")))
			p.active("f")
			p.same("first_update_result", p.call("PUT", fn("f", conf), object{"Description": "1st update description"}))
			p.active("f")
			p.same("get_fn_config_result", p.call("GET", fn("f", conf), nil))
			p.same("get_fn_result", p.call("GET", fn("f"), nil))
			p.same("redundant_update_result", p.call("PUT", fn("f", conf), object{"Description": "1st update description"}))
			p.active("f")
			p.same("get_fn_result_after_redundant_update", p.call("GET", fn("f"), nil))
		},
		"TestLambdaFunction::test_create_lambda_exceptions": func(p *replay) {
			p.same("invalid_role_arn_exc", p.call("POST", functions, def(t, "f", "Role", "r1")))
			p.same("invalid_runtime_exc", p.call("POST", functions, def(t, "f", "Runtime", "non-existent-runtime")))
			p.same("uppercase_runtime_exc", p.call("POST", functions, def(t, "f", "Runtime", "PYTHON3.9")))
			p.same("invalid_zip_exc", p.call("POST", functions, def(t, "f", "Code", object{"ZipFile": []byte("this is not a zipfile, just a random string")})))
			p.same("multiple_architectures", p.call("POST", functions, def(t, "f", "Architectures", []string{"x86_64", "arm64"})))
			p.same("uppercase_architecture", p.call("POST", functions, def(t, "f", "Architectures", []string{"X86_64"})))
			p.skip("boto3 finds it out itself", "empty_architectures")
		},
		"TestLambdaFunction::test_update_lambda_exceptions": func(p *replay) {
			p.call("POST", functions, def(t, "f"))
			p.active("f")
			p.same("invalid_role_arn_exc", p.call("PUT", fn("f", conf), object{"Role": "r1"}))
			p.same("invalid_runtime_exc", p.call("PUT", fn("f", conf), object{"Runtime": "non-existent-runtime"}))
			p.same("uppercase_runtime_exc", p.call("PUT", fn("f", conf), object{"Runtime": "PYTHON3.9"}))
		},
		"TestLambdaFunction::test_function_arns": func(p *replay) {
			p.same("create-function-arn-response", p.call("POST", functions, helper(t, prefix+"f")))
			p.same("create-function-partial-arn-response", p.call("POST", functions, helper(t, account+":function:g", "Code", object{"ZipFile": packed(t, "g.py", "")})))
			p.same("function_arn_other_account_exc", p.call("POST", functions, def(t, "arn:aws:lambda:"+region+":123456789012:function:f")))
			p.same("function_arn_other_region_exc", p.call("POST", functions, def(t, "arn:aws:lambda:ap-southeast-1:"+account+":function:f")))
			p.same("invalid_function_name_exc", p.call("POST", functions, def(t, "invalid:function:name")))
			p.same("long_function_name_exc", p.call("POST", functions, def(t, strings.Repeat("a", 65))))
			p.bound = map[string]string{}
			p.same("long_function_arn_exc", p.call("POST", functions, def(t, prefix+strings.Repeat("a", 100))))
		},
		"TestLambdaFunction::test_lambda_code_location_zipfile": func(p *replay) {
			p.same("create-response-zip-file", p.call("POST", functions, def(t, "f")))
			p.active("f")
			p.same("get-function-response", p.call("GET", fn("f"), nil))
			p.same("update-function-response", p.call("PUT", fn("f", code), object{"ZipFile": packed(t, "index.py", "new")}))
			p.same("get-function-response-updated", p.call("GET", fn("f"), nil))
		},
		"TestLambdaFunction::test_lambda_code_location_s3_errors": func(p *replay) {
			p.same("create-error-wrong-bucket", p.call("POST", functions, def(t, "f", "Code", object{"S3Bucket": "some-random-non-existent-bucket", "S3Key": "k"})))
			p.call("POST", functions, def(t, "f"))
			p.active("f")
			p.same("update-error-wrong-bucket", p.call("PUT", fn("f", code), object{"S3Bucket": "some-random-non-existent-bucket", "S3Key": "k"}))
			p.skip("there are no buckets here", "create-error-wrong-key", "update-error-wrong-key")
		},
		"TestLambdaFunction::test_invalid_vpc_config_subnet": func(p *replay) {
			p.same("create-response-invalid-format-subnet-id", p.call("POST", functions, def(t, "f", "VpcConfig", object{"SubnetIds": []string{"bad-format-subnet"}, "SecurityGroupIds": []string{"sg-1"}})))
			p.skip("there are no VPCs here", "create-response-non-existent-subnet-id")
		},
		"TestLambdaFunction::test_invalid_vpc_config_security_group": func(p *replay) {
			p.same("create-response-invalid-format-security-group", p.call("POST", functions, def(t, "f", "VpcConfig", object{"SubnetIds": []string{"subnet-1"}, "SecurityGroupIds": []string{"bad-format-sg"}})))
			p.skip("there are no VPCs here", "create-response-non-existent-security-group")
		},
		"TestLambdaFunction::test_lambda_concurrent_code_updates": func(p *replay) {
			p.same("create-function-response", p.call("POST", functions, def(t, "f", "Handler", "handler.handler")))
			p.active("f")
			p.call("PUT", fn("f", code), object{"ZipFile": packed(t, "a", "1")})
			p.same("update-during-in-progress-update-exc", p.call("PUT", fn("f", code), object{"ZipFile": packed(t, "a", "2")}))
		},
		"TestLambdaFunction::test_lambda_concurrent_config_updates": func(p *replay) {
			p.same("create-function-response", p.call("POST", functions, helper(t, "f")))
			p.active("f")
			p.call("PUT", fn("f", conf), object{"Description": "a"})
			p.same("update-during-in-progress-update-exc", p.call("PUT", fn("f", conf), object{"Description": "b"}))
		},
		"TestLambdaFunction::test_list_functions": func(p *replay) {
			p.same("create_response_1", p.call("POST", functions, helper(t, "f1", "Publish", true)))
			p.same("create_response_2", p.call("POST", functions, helper(t, "f2", "Code", object{"ZipFile": packed(t, "other", "")})))
			p.active("f1")
			p.active("f1:1")
			p.active("f2")
			p.same("list_functions_invalid_functionversion", p.call("GET", functions+"/?FunctionVersion=invalid", nil))
			p.same("list_all", p.call("GET", functions+"/?FunctionVersion=ALL", nil))
			p.same("list_default", p.call("GET", functions+"/", nil))
		},
		"TestLambdaFunction::test_invalid_invoke": func(p *replay) {
			p.same("invoke_function_name_pattern_exc", p.call("POST", fn("arn:aws:lambda:"+region+":123400000000@function:myfn", "/invocations"), nil))
		},
		"TestLambdaFunction::test_ops_on_nonexisting_fn[get_function]":               missing("GET", "", "not_found_exception"),
		"TestLambdaFunction::test_ops_on_nonexisting_fn[get_function_configuration]": missing("GET", conf, "not_found_exception"),
		"TestLambdaFunction::test_ops_on_nonexisting_fn[get_function_code_signing_config]": func(p *replay) {
			p.same("not_found_exception", p.call("GET", "/2020-06-30/functions/nonexisting/code-signing-config", nil))
		},
		"TestLambdaFunction::test_ops_on_nonexisting_version[get_function]": func(p *replay) {
			p.call("POST", functions, def(t, "f"))
			p.same("version_not_found_exception", p.call("GET", fn("f", "?Qualifier=1221"), nil))
		},
		"TestLambdaFunction::test_ops_with_arn_qualifier_mismatch[get_function]":    mismatch("GET"),
		"TestLambdaFunction::test_ops_with_arn_qualifier_mismatch[delete_function]": mismatch("DELETE"),
		"TestLambdaFunction::test_get_function_wrong_region[get_function_configuration]": func(p *replay) {
			p.same("wrong_region_exception", p.call("GET", fn(elsewhere, conf), nil))
		},
		"TestLambdaFunction::test_get_function_wrong_region[delete_function]": func(p *replay) {
			p.same("wrong_region_exception", p.call("DELETE", fn(elsewhere), nil))
		},
		"TestLambdaFunction::test_get_function_wrong_region[get_function_code_signing_config]": func(p *replay) {
			p.same("wrong_region_exception", p.call("GET", "/2020-06-30/functions/"+elsewhere+"/code-signing-config", nil))
		},
		"TestLambdaFunction::test_get_function_wrong_region[get_function_concurrency]": func(p *replay) {
			p.same("wrong_region_exception", p.call("GET", "/2019-09-30/functions/"+elsewhere+"/concurrency", nil))
		},
		"TestLambdaFunction::test_get_function_wrong_region[invoke]": func(p *replay) {
			p.same("wrong_region_exception", p.call("POST", fn(elsewhere, "/invocations"), nil))
		},
		"TestLambdaFunction::test_vpc_config": func(p *replay) {
			vpc := func(n string) object {
				return object{"SubnetIds": []string{"subnet-" + n}, "SecurityGroupIds": []string{"sg-" + n}}
			}
			p.same("create_response", p.call("POST", functions, helper(t, "f", "MemorySize", 256, "Timeout", 5, "VpcConfig", vpc("1"))))
			p.active("f")
			p.same("get_function_response", p.call("GET", fn("f"), nil))
			p.same("update_vpcconfig_update_response", p.call("PUT", fn("f", conf), object{"VpcConfig": vpc("2")}))
			p.active("f")
			p.same("update_vpcconfig_get_function_response", p.call("GET", fn("f"), nil))
			p.same("delete_vpcconfig_update_response", p.call("PUT", fn("f", conf), object{"VpcConfig": object{"SubnetIds": []string{}, "SecurityGroupIds": []string{}}}))
			p.active("f")
			p.same("delete_vpcconfig_get_function_response", p.call("GET", fn("f"), nil))
		},
		"TestLambdaRevisions::test_function_revisions_basic": func(p *replay) {
			p.same("create_function_response_rev1", p.call("POST", functions, helper(t, "f", "Handler", "index.handler")))
			p.active("f")
			rev2 := p.call("GET", fn("f"), nil)
			p.same("get_function_response_rev2", rev2)
			zip := packed(t, "index.py", "def handler(e, c): return e")
			p.same("update_function_revision_exception", p.call("PUT", fn("f", code), object{"ZipFile": zip, "RevisionId": "wrong"}))
			p.same("update_function_code_response_rev3", p.call("PUT", fn("f", code), object{"ZipFile": zip, "RevisionId": rev2.get("Configuration", "RevisionId")}))
			p.active("f")
			rev4 := p.call("GET", fn("f"), nil)
			p.same("get_function_response_rev4", rev4)
			p.same("update_function_configuration_revision_exception", p.call("PUT", fn("f", conf), object{"Runtime": "python3.8", "RevisionId": "wrong"}))
			p.same("update_function_configuration_response_rev5", p.call("PUT", fn("f", conf), object{"Runtime": "python3.8", "RevisionId": rev4.get("Configuration", "RevisionId")}))
			p.active("f")
			p.same("get_function_response_rev6", p.call("GET", fn("f"), nil))
		},
		"TestLambdaSizeLimits::test_oversized_request_create_lambda": func(p *replay) {
			p.same("invalid_param_exc", p.call("POST", functions, make([]byte, 70_167_212)))
		},
		"TestLambdaSizeLimits::test_oversized_zipped_create_lambda": func(p *replay) {
			zip := base64.StdEncoding.EncodeToString(make([]byte, 52_428_800))
			p.same("invalid_param_exc", p.call("POST", functions, []byte(`{"FunctionName":"f","Role":"`+role+`","Runtime":"python3.12","Handler":"a.b","Code":{"ZipFile":"`+zip+`"}}`)))
		},
		"TestLambdaSizeLimits::test_oversized_unzipped_lambda": func(p *replay) {
			p.same("invalid_param_exc", p.call("POST", functions, def(t, "f", "Code", object{"ZipFile": bomb(t, 262_144_000)})))
		},
		"TestLambdaSizeLimits::test_large_environment_variables_fails": func(p *replay) {
			p.same("failed_create_fn_result", p.call("POST", functions, def(t, "f", "Environment", object{"Variables": object{"LARGE_VAR": strings.Repeat("x", 4081)}})))
		},
		"TestLambdaSizeLimits::test_large_environment_fails_multiple_keys": func(p *replay) {
			body := `{"FunctionName":"f","Role":"` + role + `","Runtime":"python3.12","Handler":"a.b","Code":{"ZipFile":""},` +
				`"Environment":{"Variables":{"SMALL_VAR":"ok","LARGE_VAR":"` + strings.Repeat("x", 4064) + `"}}}`
			p.same("failured_create_fn_result_multi_key", p.call("POST", functions, []byte(body)))
		},
		"TestLambdaSizeLimits::test_lambda_envvars_near_limit_succeeds": func(p *replay) {
			p.same("successful_create_fn_result", p.call("POST", functions, helper(t, "f", "Environment", object{"Variables": object{"LARGE_VAR": strings.Repeat("x", 4080)}})))
		},
		"TestLambdaSnapStart::test_snapstart_exceptions": func(p *replay) {
			p.same("create_function_invalid_snapstart_apply", p.call("POST", functions, def(t, "f", "SnapStart", object{"ApplyOn": "invalidOption"})))
		},
		"TestLambdaSnapStart::test_snapstart_update_function_configuration[python3.12]": func(p *replay) {
			p.same("create_function_response", p.call("POST", functions, def(t, "f", "Handler", "handler.handler", "MemorySize", 1024, "Timeout", 5)))
			p.active("f")
			p.same("update_function_response", p.call("PUT", fn("f", conf), object{"SnapStart": object{"ApplyOn": "PublishedVersions"}}))
		},
		"TestLoggingConfig::test_function_advanced_logging_configuration": func(p *replay) {
			p.same("create_response", p.call("POST", functions, helper(t, "f", "MemorySize", 256, "Timeout", 5, "LoggingConfig", object{"LogFormat": "JSON"})))
			p.active("f")
			p.same("get_function_response", p.call("GET", fn("f"), nil))
			p.same("function_config", p.call("GET", fn("f", conf), nil))
			p.same("updated_config", p.call("PUT", fn("f", conf), object{"LoggingConfig": object{"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": "cool_lambda"}}))
			p.active("f")
			p.same("received_config", p.call("GET", fn("f", conf), nil))
		},
		"TestLoggingConfig::test_function_partial_advanced_logging_configuration_update[partial_config0]":       logging(object{"LogFormat": "JSON"}),
		"TestLoggingConfig::test_function_partial_advanced_logging_configuration_update[partial_config3]":       logging(object{"LogGroup": "cool_lambda"}),
		"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[nodejs12.x]":    deprecatedRuntime("nodejs12.x"),
		"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[python3.7]":     deprecatedRuntime("python3.7"),
		"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[java8]":         deprecatedRuntime("java8"),
		"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[dotnetcore3.1]": deprecatedRuntime("dotnetcore3.1"),
		"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[ruby2.7]":       deprecatedRuntime("ruby2.7"),
	})
}

const elsewhere = "arn:aws:lambda:us-gov-east-1:" + account + ":function:f"

func missing(method, rest, label string) func(p *replay) {
	return func(p *replay) { p.same(label, p.call(method, fn("nonexisting", rest), nil)) }
}

func mismatch(method string) func(p *replay) {
	return func(p *replay) {
		p.same("not_match_exception", p.call(method, fn(prefix+"some-function:1", "?Qualifier=$LATEST"), nil))
		p.same("match_exception", p.call(method, fn(prefix+"some-function:$LATEST", "?Qualifier=$LATEST"), nil))
	}
}

func logging(change object) func(p *replay) {
	return func(p *replay) {
		p.same("create_response", p.call("POST", functions, helper(p.t, "f", "MemorySize", 256, "Timeout", 5)))
		p.active("f")
		p.same("get_function_response", p.call("GET", fn("f"), nil))
		p.same("function_config", p.call("GET", fn("f", "/configuration"), nil))
		p.same("updated_config", p.call("PUT", fn("f", "/configuration"), object{"LoggingConfig": change}))
		p.active("f")
		p.same("received_config", p.call("GET", fn("f", "/configuration"), nil))
	}
}

func deprecatedRuntime(name string) func(p *replay) {
	return func(p *replay) {
		p.same("deprecation_error", p.call("POST", functions, def(p.t, "f", "Runtime", name)))
	}
}
