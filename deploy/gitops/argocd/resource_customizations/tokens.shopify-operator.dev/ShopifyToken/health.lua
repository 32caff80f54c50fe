-- The health of a credential that shopify-token-operator keeps. Its status is in kstatus format: observedGeneration, Ready,
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
local ready = conditions["Ready"] or {}
-- Those that stand in the way of what is wanted.
local function found(type)
  local condition = conditions[type]
  if condition ~= nil and condition.status == "True" then
    return condition
  end
end
local suspended, stalled, reconciling = found("Suspended"), found("Stalled"), found("Reconciling")

-- What applications were given works no more, or is gone, whoever may mend it.
local dead = ready.status == "False" and (ready.reason == "TokenExpired" or ready.reason == "TokenRejected")
local lost = ready.status == "False" and status.revision ~= nil
  and (status.secret == nil or status.secret.revision == nil)

if dead or (lost and (suspended or stalled)) then
  hs.status = "Degraded"
  hs.message = ready.message
elseif suspended then
  hs.status = "Suspended"
  hs.message = suspended.message
elseif stalled and ready.reason == "ConsentRequired" then
  -- Nothing is broken: it begins when a merchant or customer approves it.
  hs.status = "Suspended"
  hs.message = stalled.message
elseif stalled then
  hs.status = "Degraded"
  hs.message = stalled.message
elseif reconciling then
  hs.status = "Progressing"
  hs.message = reconciling.message
elseif ready.status == "True" then
  hs.status = "Healthy"
  hs.message = ready.message
else
  hs.status = "Progressing"
  hs.message = ready.message or "Waiting for the condition Ready"
end
return hs
