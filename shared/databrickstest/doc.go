// Package databrickstest simulates the part of Databricks that hands out
// credentials: one account with its workspaces, their service principals and
// OAuth secrets, the token endpoints, and SCIM. It is an HTTP server with
// state, for the real SDK as its client. It runs in memory, without sockets or
// goroutines ([Server.Transport]), or on loopback ([Server.Listen]).
//
// The server is stricter than Databricks: an unknown query parameter or field
// is refused by name, and an unknown route is answered 501 and recorded
// ([Server.Unknown]).
//
// # Documented
//
// The following is in Databricks' documentation or in the SDK's source: paths
// and parameters; the numeric id in paths and the application id as client id;
// lifetimes in seconds, 730 days at most and by default; times with
// milliseconds, and no expire_time on a secret that does not expire; five
// secrets for one service principal; values that begin with "dose" and are
// shown once; secrets that carry scopes; lists that are paged by token and
// whose pages prove nothing by their length; account_admin on account paths; a
// workspace's admin who also manages the service principal on workspace paths;
// the scopes "authentication" and "scim"; client credentials by header; token
// exchange by RFC 8693 with a policy's issuer, audiences (the account id when
// there are none) and subject; tokens of one hour; a deactivated service
// principal that cannot authenticate and keeps its permissions; discovery.
//
// # Guessed
//
// Where the documentation is silent the server does what follows, and nothing
// may depend on it:
//
//   - A secret beyond the limit is refused with 400 RESOURCE_EXHAUSTED. The
//     SDK takes that code for a throttle and repeats the request.
//   - A secret's hash is the SHA-256 of its value, in hex; its status is always
//     ACTIVE. Its expire_time is its create_time and exactly the lifetime.
//   - Creation takes scopes, on workspace paths too ([Server.IgnoreScopes]). Its
//     documented body has a lifetime and nothing else.
//   - Expired secrets count for nothing, are not listed, and are not found by
//     a delete ([Server.ListExpired]).
//   - Secrets are listed in the order of their ids. A full page always has a
//     next one, and the second page of a listing is always empty, with a token
//     when more follow.
//   - Tokens outlive their secret ([Server.RevokeTokensOnDelete]), but not
//     their service principal, nor its being active: those end them at once.
//   - A token from the account's host is good for the account and every
//     workspace that the service principal belongs to, one from a workspace's
//     host for that workspace.
//   - A scoped secret grants the scopes asked for if they are among its own;
//     all-apis, and no scope, grant exactly its own.
//   - invalid_client is the answer to a wrong secret, an unknown or inactive
//     service principal, and one that the workspace does not know, alike. A
//     subject token that no policy takes is invalid_grant.
//   - Reading SCIM takes an admin of the host. Me takes any member and scope.
//   - active is one flag for the account and its workspaces.
//   - A throttle is 429 REQUEST_LIMIT_EXCEEDED on every route, the token
//     endpoints too.
//   - The order of checks is: shape of the request, rate, token, membership,
//     scope, role, existence, body.
//
// # Stale reads
//
// The server keeps for each service principal the state before its last write:
// a secret made or deleted, active changed, the deletion of the service
// principal, by whichever way. [faulttest.StaleRead] on a read or a token
// request is answered from there.
package databrickstest
