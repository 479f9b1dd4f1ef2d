package requests

import "slices"

// Rules are all cases about requests.
var Rules = slices.Concat(writeRules, readRules, lifeRules, listRules, watchRules, schemaRules, clientRules, leaderRules)
