-- The health of an app whose credentials shopify-token-operator uses. Its status is in kstatus format: observedGeneration, Ready,
-- and Reconciling (it heals by itself) and Stalled (a person must act), which are there only while they are True.
-- Reasons: docs/reasons.md of shopify-token-operator.
local hs = {}
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  hs.status = "Progressing"
  hs.message = "Waiting for shopify-token-operator"
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(type, value)
  return conditions[type] ~= nil and conditions[type].status == value
end

if is("Stalled", "True") then
  hs.status = "Degraded"
  hs.message = conditions["Stalled"].message
elseif is("Reconciling", "True") then
  hs.status = "Progressing"
  hs.message = conditions["Reconciling"].message
elseif is("Ready", "True") then
  hs.status = "Healthy"
  hs.message = conditions["Ready"].message
  -- A client secret is being replaced: the app works, and a person waits for the end of it.
  if is("SafeToRevokeOldSecret", "False") then
    hs.message = hs.message .. "; " .. conditions["SafeToRevokeOldSecret"].message
  end
else
  hs.status = "Progressing"
  hs.message = "Waiting for the condition Ready"
end
return hs
