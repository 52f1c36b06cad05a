# What an application team's first configuration looks like: it reads who it
# is, and keeps that in its state.
terraform {
  required_providers {
    databricks = {
      source = "databricks/databricks"
    }
  }
}

# Host and credential are in the environment.
provider "databricks" {}

data "databricks_current_user" "me" {}

output "me" {
  value = data.databricks_current_user.me.user_name
}
