// Package follow decides when the weights of a route's split change. It has no clock and no I/O. A target loses weight,
// down to the floor, if one of its figures is outside of its bound, and not by chance (binomial test). Only targets
// with all figures within their bounds gain it, if they are better in that figure, and not by chance (Fisher's exact
// test): two equal targets are never told apart. The error of both tests is 5 % for a week, divided by its looks and by
// the figures of a look. A target has as many independent answers as calls at most. If every target is within its
// bounds, weights go back to the file's. A target that has lost weight must also be better than it was then, at an
// error of 1 %: at the floor it has few calls, and a bad one would look good by chance. If a target loses
// weight within a day of a return, the next return waits a day, then two, up to a week: it may be slow only with many
// calls. What remains: a target with more calls of over 20 minutes looks worse.
package follow
