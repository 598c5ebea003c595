package frontend

import (
	"context"
	"net/http"

	"thermocline"
	"thermocline/store/code"
)

// getAccountSettings is GetAccountSettings.
func (q *request) getAccountSettings() error {
	type limit struct {
		TotalCodeSize, CodeSizeUnzipped, CodeSizeZipped      int64
		ConcurrentExecutions, UnreservedConcurrentExecutions int
	}
	type usage struct{ TotalCodeSize, FunctionCount int64 }
	var used usage
	reserved := 0
	ctx, s := q.r.Context(), q.server
	err := s.eachFunction(ctx, q.identity.Account, func(f *thermocline.Function) error {
		used.FunctionCount++
		n := 0
		if getExtra(f, extraConcurrency, &n) {
			reserved += n
		}
		versions, err := s.opts.Store.Versions(ctx, f.Account, f.Name)
		for _, v := range versions {
			used.TotalCodeSize += v.CodeSize
		}
		return err
	})
	if err != nil {
		return err
	}
	most := s.concurrency.limitOf(ctx, q.identity.Account)
	return q.reply(http.StatusOK, struct {
		AccountLimit limit
		AccountUsage usage
	}{limit{maxTotalCode, code.MaxUnzipped, maxZip, most, most - reserved}, used})
}

type concurrencyAnswer struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

// putConcurrency is PutFunctionConcurrency.
func (q *request) putConcurrency() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	var in concurrencyAnswer
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	if in.ReservedConcurrentExecutions == nil {
		p.null("reservedConcurrentExecutions")
		return p.err()
	}
	// AWS looks for the function first; the message names $LATEST here.
	if _, err := q.find(ref{name: r.name, qualifier: thermocline.Latest}); err != nil {
		return err
	}
	wanted := *in.ReservedConcurrentExecutions
	if wanted < 0 {
		p.between("reservedConcurrentExecutions", wanted, 0, wanted)
		return p.err()
	}
	others, err := q.server.reservedBut(q.r.Context(), q.identity.Account, r.name)
	if err != nil {
		return err
	}
	limit := q.server.concurrency.limitOf(q.r.Context(), q.identity.Account)
	if least := leastUnreserved(limit); wanted > 0 && limit-others-wanted < least {
		return invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", least)
	}
	if err := q.reserve(r, &wanted, others+wanted); err != nil {
		return err
	}
	return q.reply(http.StatusOK, in)
}

// reservedBut sums the reservations of the account's other functions.
func (s *Server) reservedBut(ctx context.Context, account, name string) (sum int, err error) {
	err = s.eachFunction(ctx, account, func(f *thermocline.Function) error {
		n := 0
		if f.Name != name && getExtra(f, extraConcurrency, &n) {
			sum += n
		}
		return nil
	})
	return sum, err
}

func (q *request) reserve(r ref, wanted *int, sum int) error {
	_, err := q.updateLatest(r, func(f *thermocline.Function) error {
		if wanted == nil {
			return setExtra(f, extraConcurrency, nil)
		}
		return setExtra(f, extraConcurrency, *wanted)
	})
	if err == nil {
		q.server.concurrency.setReserved(q.identity.Account, sum)
	}
	return err
}

// deleteConcurrency is DeleteFunctionConcurrency.
func (q *request) deleteConcurrency() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	others, err := q.server.reservedBut(q.r.Context(), q.identity.Account, r.name)
	if err != nil {
		return err
	}
	if err := q.reserve(r, nil, others); err != nil {
		return err
	}
	return q.replyEmpty(http.StatusNoContent)
}

// getConcurrency is GetFunctionConcurrency.
func (q *request) getConcurrency() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	f, err := q.latest(r)
	if err != nil {
		return err
	}
	var answer concurrencyAnswer
	getExtra(f, extraConcurrency, &answer.ReservedConcurrentExecutions)
	return q.reply(http.StatusOK, answer)
}

// getCodeSigning is GetFunctionCodeSigningConfig: no function has one here.
func (q *request) getCodeSigning() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	if _, err := q.latest(r); err != nil {
		return err
	}
	return q.reply(http.StatusOK, struct{}{})
}

// deleteCodeSigning is DeleteFunctionCodeSigningConfig.
func (q *request) deleteCodeSigning() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	if _, err := q.latest(r); err != nil {
		return err
	}
	return q.replyEmpty(http.StatusNoContent)
}

type runtimeManagement struct {
	UpdateRuntimeOn   string
	FunctionArn       string  `json:",omitempty"`
	RuntimeVersionArn *string // null in Auto
}

// getRuntimeManagement is GetRuntimeManagementConfig.
func (q *request) getRuntimeManagement() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	f, err := q.find(r)
	if err != nil {
		return err
	}
	answer := runtimeManagement{UpdateRuntimeOn: "Auto"}
	getExtra(f, extraRuntimeMgmt, &answer)
	qualifier := r.qualifier
	if qualifier == "" {
		qualifier = thermocline.Latest
	}
	answer.FunctionArn = q.arn(ref{name: r.name, qualifier: qualifier})
	return q.reply(http.StatusOK, answer)
}

// putRuntimeManagement is PutRuntimeManagementConfig. It is kept and shown;
// there is one version of each runtime here, the one that is installed.
func (q *request) putRuntimeManagement() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	var in runtimeManagement
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	p.oneOf("updateRuntimeOn", in.UpdateRuntimeOn, "Auto", "Manual", "FunctionUpdate")
	if err := p.err(); err != nil {
		return err
	}
	f, err := q.find(r)
	if err != nil {
		return err
	}
	if in.UpdateRuntimeOn == "Manual" && (in.RuntimeVersionArn == nil || *in.RuntimeVersionArn != q.region.runtimeVersionARN(f)) {
		return invalid("The only version of the runtime %s here is %s.", f.Runtime, q.region.runtimeVersionARN(f))
	}
	in.FunctionArn = ""
	if in.UpdateRuntimeOn != "Manual" {
		in.RuntimeVersionArn = nil
	}
	if _, err := q.server.opts.Store.Update(q.r.Context(), f.FunctionID, func(f *thermocline.Function) error {
		return setExtra(f, extraRuntimeMgmt, in)
	}); err != nil {
		return err
	}
	qualifier := r.qualifier
	if qualifier == "" {
		qualifier = thermocline.Latest
	}
	in.FunctionArn = q.arn(ref{name: r.name, qualifier: qualifier})
	return q.reply(http.StatusOK, in)
}

type recursion struct{ RecursiveLoop string }

// getRecursion is GetFunctionRecursionConfig.
func (q *request) getRecursion() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	f, err := q.latest(r)
	if err != nil {
		return err
	}
	answer := recursion{"Terminate"}
	getExtra(f, extraRecursion, &answer.RecursiveLoop)
	return q.reply(http.StatusOK, answer)
}

// putRecursion is PutFunctionRecursionConfig. It is kept and shown.
func (q *request) putRecursion() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	var in recursion
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	p.oneOf("recursiveLoop", in.RecursiveLoop, "Terminate", "Allow")
	if err := p.err(); err != nil {
		return err
	}
	if _, err := q.updateLatest(r, func(f *thermocline.Function) error {
		return setExtra(f, extraRecursion, in.RecursiveLoop)
	}); err != nil {
		return err
	}
	return q.reply(http.StatusOK, in)
}
