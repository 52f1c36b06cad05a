// Package databrickstest simulates the part of Databricks that hands out
// credentials and tells what they may do: one account with its workspaces,
// their service principals, people and groups; OAuth secrets, personal access
// tokens, OAuth apps and federation policies; the token endpoints; SCIM,
// assignments, rule sets, access lists and grants; and SQL statements, whose
// rows come from the test ([Server.SetStatements]). It is an HTTP server with
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
// Of what an audit reads: personal access tokens with their times in
// milliseconds, -1 for one that does not expire, the day of their last use,
// scopes and the state of autoscope; their id, the SHA-256 of the value; an
// admin who lists, deletes and narrows them, and makes them for a service
// principal; 600 for one identity in a workspace; 730 days at most, or what the
// workspace allows. SCIM lists that go on until an empty page, "account_admin"
// among the roles, groups of the account listed without their members. Lists
// that are not paged: tokens, workspaces, assignments. Names of rule sets and
// of their roles. Apps with scopes and the life of their tokens. Access lists
// with what is inherited. Statements that are pending, running and then there,
// that fail with 200, are cut into chunks, have text or null for values, end at
// 25 MiB, are closed after an hour, and are seen by nobody else. The scopes
// "access-management" (assignments, rule sets, access lists), "authentication"
// (secrets, apps, federation policies), "sql" and "unity-catalog".
//
// Of what an administrator sets up: who makes a service principal manages it;
// the role account_admin by a SCIM PATCH of roles, a workspace's admins by one
// of the group "admins", or by an assignment, which an empty list ends; rule
// sets that are replaced whole, by the etag that was read; federation policies
// with an id of the caller's choice, 20 at most.
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
//   - Reading SCIM takes an admin of the host, and so does reading everything
//     else, except an access list, which whoever manages the object may read.
//     Me takes any member and scope.
//   - active is one flag for the account and its workspaces, of people too.
//   - A group's roles, assignments and rules hold for all its members, those of
//     member groups too, and an identity's own roles are listed without them.
//     A workspace knows those who are in it through a group, and the groups of
//     the account that are assigned to it. Its groups "admins" and "users" are
//     listed with those assigned to it, and its ids are their ids: the
//     workspace's own and the one after.
//   - "provisioning" is the scope of workspaces, "authentication" that of
//     personal access tokens, "settings" that of workspace-conf.
//   - A personal access token is good in its workspace alone. Every request
//     that it authenticates counts as its use, refused or not; while autoscope
//     is RUNNING the operation's scope is added to those inferred. Databricks
//     never ends watching here ([Server.SetAutoscope]).
//   - A token made by an admin for a service principal is the service
//     principal's, and created by the admin. An expired token is gone
//     ([Server.ListExpired]), one whose owner is deleted is listed.
//   - PATCH of a token takes scopes and comment, may widen as well as narrow,
//     and without scopes lifts the limit; afterwards autoscope is USER_SELECTED.
//   - A workspace's deployment name and Databricks' domain make its host. On
//     loopback the deployment name is the host and port.
//   - Lists of apps and federation policies have pages as those of secrets.
//     Grants are paged when max_results is given, in pages that are shorter.
//   - Every privilege is inherited by all that is below, a securable's grants are
//     read by a workspace's admin, and all securables are in one metastore.
//   - A federation policy of the account lets nobody in.
//   - A federation policy is made and changed by an admin of the account alone,
//     with no keys of its own; a second one of the same id is 409
//     ALREADY_EXISTS.
//   - A rule set is replaced, through a workspace, by whoever administers the
//     workspace and manages the service principal. An etag that is not the
//     latest, or none, is 409 RESOURCE_CONFLICT.
//   - A service principal that is made on a workspace's host is in the account
//     and a USER of the workspace.
//   - A statement takes two looks to finish and no time; wait_timeout waits for
//     nothing. Every column is a STRING. A parameter that is used and not given
//     is a refusal, not a failure. A warehouse is open to everybody on its
//     access list, whatever the level.
//   - A throttle is 429 REQUEST_LIMIT_EXCEEDED on every route, the token
//     endpoints too.
//   - The order of checks is: shape of the request, rate, token, membership,
//     scope, role, existence, body.
//
// # Stale reads
//
// The server keeps for each service principal and person the state before its
// last write: a secret made or deleted, active changed, the deletion, by
// whichever way. It keeps the same for each workspace's tokens, the account's
// apps, and each list of federation policies. [faulttest.StaleRead] on a read
// or a token request is answered from there. Groups, roles, assignments, rule
// sets and access lists have no older state.
package databrickstest
