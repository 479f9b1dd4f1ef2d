// Package access decides who may do what at a gateway.
//
// An [Authenticator] makes a [Principal] of what a caller shows, an [Authorizer]
// answers whether a principal may do an [Action] to a [Resource]. A [File] is
// both, from a JSON file with the callers, the hashes of their keys or the names
// of their certificates, and their rights:
//
//	{
//	  "callers": [
//	    {
//	      "name": "billing",
//	      "tenant": "finance",
//	      "keys": [{"id": "billing-2026", "sha256": "9f86d081…"}],
//	      "certificates": ["spiffe://example/billing", "billing.example.com"],
//	      "read": ["00000000-0000-0000-0000-000000000001"],
//	      "consume": ["billing", "billing-*"]
//	    }
//	  ]
//	}
//
// Rights name organisations, types as "organisation/type", or "*" for
// everything; consume and operate name subscriptions, where a trailing "*"
// stands for any rest. Rights that are not granted are denied.
package access
