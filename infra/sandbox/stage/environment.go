package stage

import "databricks-credential-rotation/shared/policy"

// RotateRole is the name of the role that the rotate function runs as.
const RotateRole = "rotate"

// environment is what the template gives the rotate function, with the host
// pattern of the simulator in place of Databricks' own, and what Lambda adds:
// region and credentials.
func environment(clouds Clouds, p policy.Policy) []string {
	return append([]string{
		"ROTATOR_CLIENT_ID=" + clouds.Rotator.ApplicationID,
		"ROTATOR_SECRET_ARN=",
		"ROTATOR_AUDIENCE=" + clouds.Databricks.AccountID(),
		"DATABRICKS_HOSTS=http://127.0.0.1:*",
		"ROTATION_INTERVAL=" + p.Interval.String(),
		"GRACE_PERIOD=" + p.Grace.String(),
		"SECRET_LIFETIME=" + p.Lifetime.String(),
	}, clouds.AWS.Env(RotateRole)...)
}
