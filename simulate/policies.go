package simulate

// Policies are the names of all policies: ours, and the baselines.
func Policies() []string {
	return []string{
		Thermocline, "random", "least-loaded", "consistent-hash", "ch-bl", "openwhisk", "hiku", "hybrid-histogram", "greedy-dual",
	}
}

// Thermocline is the name of our own policy, which chooses its keep-alive
// itself; all others are baselines.
const Thermocline = "thermocline"

// newPolicy returns a policy by its name, nil if there is none. The keep-alive
// policies run on OpenWhisk's balancer, as in their papers.
func newPolicy(name string) policy {
	switch name {
	case Thermocline:
		return newThermocline()
	case "random":
		return &cluster{b: &random{}, k: &fixed{}}
	case "least-loaded":
		return &cluster{b: &leastLoaded{}, k: &fixed{}}
	case "consistent-hash":
		return &cluster{b: &consistentHash{}, k: &fixed{}}
	case "ch-bl":
		return &cluster{b: &boundedHash{}, k: &fixed{}}
	case "openwhisk":
		return &cluster{b: &openWhisk{}, k: &fixed{}}
	case "hiku":
		return &cluster{b: &hiku{}, k: &fixed{}}
	case "hybrid-histogram":
		return &cluster{b: &openWhisk{}, k: &hybrid{}}
	case "greedy-dual":
		return &cluster{b: &openWhisk{}, k: &greedyDual{}}
	}
	return nil
}
