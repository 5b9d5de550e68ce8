// Package follow decides when the weights of a route's split change. It has no clock and no I/O.
//
// A target loses weight, down to the floor, if one of its figures is outside of its bound, and not by chance (an exact
// binomial test). Its weight goes to targets whose figures are all within their bounds, and that are better in that
// figure, and not by chance (Fisher's exact test). So two equal targets are never told apart. Both tests have the error
// of one look: 5 % for a week, divided by its looks and by the figures of a look.
//
// The turns of one call resemble each other: a target has as many independent answers as calls, or fewer if some calls
// have many more turns than others.
//
// If every target is within its bounds, weights go back to the file's. A target that has lost weight must also be
// better than it was then, at an error of 1 %: at the floor it has few calls, and a bad one would look good by chance.
package follow
