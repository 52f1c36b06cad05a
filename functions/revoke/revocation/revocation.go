// Package revocation kills a leaked credential, now.
package revocation
