// Package follow decides when the weights of a route's split change. It has no clock and no I/O. A target loses weight,
// down to the floor, if one of its figures is outside of its bound, and not by chance (binomial test). Only targets
// with all figures within their bounds gain it, if they are better in that figure, and not by chance (Fisher's exact
// test): two equal targets are never told apart. The error of both tests is 5 % for a week, divided by its looks, by
// the two times of a look (since the last move, and the last 3 hours), and by the figures of a look. A target loses one
// more step for each factor of 1,000 below that error.
//
// The tests want independent events. So a target has at most as many answers as calls, and where events come in bursts,
// their number is divided by how many times more they vary over time than independent ones (TestBursts, TestBusyDays).
// A number counts three times in a look, and calls without one are a tenth of it (TestOneCaller).
//
// If every target is within its bounds, weights go back to the file's. A target that has lost weight must also be
// better than it was then, at an error of 1 %: at the floor it has few calls, and a bad one would look good by chance.
// If a target loses weight within a day of a return, the next return waits a day, then two, up to a week: it may be
// slow only with many calls. What remains: a target with more calls of over 20 minutes looks worse.
//
// A dead target has a rule of its own, which looks at each call that ends: a share takes an hour to show what twelve
// calls of six numbers without a word show at once. Another target must have been heard since (TestDead, TestHear).
package follow
