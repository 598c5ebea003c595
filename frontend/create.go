package frontend

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"thermocline"
)

// settings are the members that CreateFunction and UpdateFunctionConfiguration
// share. What is nil was not given.
type settings struct {
	Description      *string
	Runtime          *string
	Handler          *string
	Role             *string
	MemorySize       *int
	Timeout          *int
	EphemeralStorage *struct{ Size *int }
	Environment      *struct{ Variables *variables }
	Layers           []string
	KMSKeyArn        *string
	TracingConfig    *struct{ Mode string }
	LoggingConfig    *loggingConfig
	SnapStart        *struct{ ApplyOn string }
	VpcConfig        *vpcConfig

	// Refused unless empty: they promise what is not done here.
	DeadLetterConfig       *struct{ TargetArn string }
	FileSystemConfigs      []json.RawMessage
	ImageConfig            json.RawMessage
	CapacityProviderConfig json.RawMessage
	DurableConfig          json.RawMessage
}

type vpcConfig struct {
	SubnetIds               []string
	SecurityGroupIds        []string
	Ipv6AllowedForDualStack bool
}

type createRequest struct {
	settings
	FunctionName         *string
	Code                 *functionCode
	PackageType          *string
	Architectures        []string
	Publish              bool
	Tags                 map[string]string
	CodeSigningConfigArn string
	TenancyConfig        json.RawMessage
}

// createFunction is CreateFunction.
func (q *request) createFunction() error {
	var in createRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	q.body = nil // the zip is decoded: a long body need not be held twice
	r, err := q.checkCreate(&in)
	if err != nil {
		return err
	}
	code, err := in.Code.packaged()
	if err != nil {
		return err
	}
	f := &thermocline.Function{
		FunctionID:      thermocline.FunctionID{Account: q.identity.Account, Name: r.name, Version: thermocline.Latest},
		Region:          q.region.name,
		Architecture:    "x86_64",
		MemoryMB:        128,
		TmpMB:           512,
		Timeout:         3 * time.Second,
		Generation:      q.now.UnixNano(),
		State:           thermocline.StatePending,
		StateReason:     reasonCreating,
		StateReasonCode: reasonCodeCreating,
		Revision:        uuid.NewString(),
		LastModified:    q.now,
		CodeSHA256:      code.sha256,
		CodeSize:        int64(len(code.zip)),
	}
	if len(in.Architectures) == 1 {
		f.Architecture = in.Architectures[0]
	}
	if err := in.apply(f); err != nil {
		return err
	}
	if len(in.Tags) > 0 {
		if err := setExtra(f, extraTags, in.Tags); err != nil {
			return err
		}
	}
	return q.storeNew(f, code, in.Publish)
}

// storeNew stores the code first: a function must never name code that is not
// there.
func (q *request) storeNew(f *thermocline.Function, code codePackage, publish bool) error {
	ctx, s := q.r.Context(), q.server
	if _, err := s.opts.Store.Get(ctx, f.FunctionID); err == nil {
		return errExists(f.Name)
	}
	if err := s.opts.Store.Put(ctx, code.sha256, code.zip); err != nil {
		return err
	}
	var version *thermocline.Function
	if publish {
		version = s.newVersion(f, 1, "")
		if err := setExtra(f, extraPublished, publication{Last: 1, Digest: digest(f)}); err != nil {
			return err
		}
	}
	if err := s.opts.Store.Create(ctx, f); err != nil {
		if isKind(err, thermocline.KindConflict) {
			return errExists(f.Name)
		}
		return err
	}
	s.schedule(f)
	answer := q.shown(f, "")
	if version != nil {
		if err := s.opts.Store.Publish(ctx, version); err != nil {
			return err
		}
		s.schedule(version)
		answer.Version = version.Version
	}
	return q.reply(http.StatusCreated, answer)
}

func errExists(name string) error {
	return thermocline.Errorf(thermocline.KindConflict, "Function already exist: %s", name)
}

// checkCreate checks what only CreateFunction has and returns the name.
func (q *request) checkCreate(in *createRequest) (ref, error) {
	var p problems
	var r ref
	if in.FunctionName == nil {
		p.null("functionName")
	} else {
		p.length("functionName", *in.FunctionName, 1, maxCreateName)
		var ok bool
		if r, ok = parseRef(*in.FunctionName, createNameRE); !ok {
			p.add("functionName", *in.FunctionName, patternConstraint(createNamePattern))
		}
	}
	if in.Code == nil {
		p.null("code")
	}
	if in.Role == nil {
		p.null("role")
	}
	if in.PackageType != nil {
		p.oneOf("packageType", *in.PackageType, "Image", "Zip")
	}
	p.architectures(in.Architectures)
	in.settings.check(&p)
	if err := p.err(); err != nil {
		return r, err
	}
	if len(r.name) > maxPlainName {
		p.length("functionName", r.name, 1, maxPlainName)
		return r, invalid("1 validation error detected: %s", p[0])
	}
	if r.account != "" && r.account != q.identity.Account {
		return r, thermocline.Errorf(thermocline.KindAccessDenied, "") // AWS says nothing here
	}
	if err := q.mayName(r); err != nil {
		return r, err
	}
	switch {
	case in.PackageType != nil && *in.PackageType == "Image", in.Code.ImageUri != "":
		return r, invalid("Container images are not supported here: give the code as a zip file, with PackageType Zip.")
	case in.Runtime == nil || in.Handler == nil:
		return r, invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	case in.CodeSigningConfigArn != "":
		return r, &apiError{errorShape{http.StatusNotFound, "CodeSigningConfigNotFoundException", formCapital},
			"The code signing configuration cannot be found. Check that the provided configuration is not deleted: " + in.CodeSigningConfigArn + "."}
	case given(in.TenancyConfig):
		return r, errNotHere("TenancyConfig")
	case len(in.Tags) > maxTags:
		return r, invalid("The number of tags exceeds the limit of %d.", maxTags)
	}
	if err := q.server.checkArchitecture(in.Architectures); err != nil {
		return r, err
	}
	return r, q.server.checkSettings(q.r.Context(), &in.settings)
}

func (p *problems) architectures(list []string) {
	const field = "architectures"
	if len(list) > 1 {
		p.add(field, listText(list), "Member must have length less than or equal to 1")
	}
	for _, a := range list {
		if a != "x86_64" && a != "arm64" {
			p.add(field, listText(list), "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]")
			return
		}
	}
}

func (s *Server) checkArchitecture(list []string) error {
	for _, a := range list {
		if !slices.Contains(s.opts.Architectures, a) {
			return invalid("The architecture %s cannot run here: this server has %s.", a, strings.Join(s.opts.Architectures, ", "))
		}
	}
	return nil
}

func errNotHere(member string) error {
	return invalid("%s is not supported here. Leave it out.", member)
}

// given reports whether a member was given and is not null or empty.
func given(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && string(raw) != "null" && string(raw) != "{}"
}

// The patterns of the settings as AWS words them.
const (
	rolePattern    = `arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`
	handlerPattern = `[^\s]+`
	keyPattern     = `(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()`
	varPattern     = `[a-zA-Z]([a-zA-Z0-9_])+`
	groupPattern   = `[\.\-_/#A-Za-z0-9]+`

	subnetPattern   = `subnet-[0-9a-z]*`
	securityPattern = `sg-[0-9a-zA-Z]*`
)

var (
	roleRE    = regexp.MustCompile(`^(?:` + rolePattern + `)$`)
	handlerRE = regexp.MustCompile(`^(?:` + handlerPattern + `)$`)
	keyRE     = regexp.MustCompile(`^(?:` + keyPattern + `)$`)
	varRE     = regexp.MustCompile(`^(?:` + varPattern + `)$`)
	groupRE   = regexp.MustCompile(`^(?:` + groupPattern + `)$`)

	subnetRE   = regexp.MustCompile(`^(?:` + subnetPattern + `)$`)
	securityRE = regexp.MustCompile(`^(?:` + securityPattern + `)$`)
)
