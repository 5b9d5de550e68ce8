// Package hooks serves the HTTP requests of platforms and carriers: listeners with bounds on time and size, and the
// endpoint that gives an agent the variables of its call. The requests of a platform are described in its package.
//
// Decisions:
//
//   - Hooks have listeners of their own, apart from the admin API: other parties than operators use them, so an
//     operator can open one to the internet without the other. Each listener bounds time, sizes and the connections of
//     one source (TestListeners, TestHeaderTimeout, TestShares).
//   - Requests end before the process does: Close waits for every handler that runs (TestCloseWaits, TestRequestsEnd).
package hooks
