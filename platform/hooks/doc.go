// Package hooks serves the HTTP requests of platforms and carriers. It has listeners with limits on time and size, and
// the endpoint that gives an agent the variables of its call. Each platform's requests are described in the platform's
// package.
//
// Decisions:
//
//   - Hooks have listeners of their own, apart from the admin API: they are for other parties than operators, so an
//     operator can open one to the internet without the other. Each listener bounds time, sizes and the connections of
//     one source (TestListeners, TestHeaderTimeout, TestShares).
//   - Requests end before the process does: Close waits for every running handler (TestCloseWaits, TestRequestsEnd).
package hooks
