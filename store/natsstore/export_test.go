package natsstore

// Token and Untoken are tested by themselves: whether names stay apart hangs on
// them.
var (
	Token   = token
	Untoken = untoken
)
