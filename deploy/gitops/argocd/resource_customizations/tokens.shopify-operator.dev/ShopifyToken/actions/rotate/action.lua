-- Each new value is one rotation.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["tokens.shopify-operator.dev/rotate-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
