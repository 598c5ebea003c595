package frontend

// Operations lists every operation as "METHOD pattern", with whether keys of
// the scope invoke may call it.
func Operations() map[string]bool {
	all := make(map[string]bool)
	for _, group := range operations {
		for _, op := range group {
			all[op.method+" "+op.pattern] = op.forInvokers
		}
	}
	return all
}
