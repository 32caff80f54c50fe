local suspended = obj.spec.suspend == true
local deleting = obj.metadata.deletionTimestamp ~= nil

local actions = {}
actions["rotate"] = {["disabled"] = suspended or deleting, ["iconClass"] = "fa fa-fw fa-sync"}
-- Of one that is being deleted it ends the pause before the next attempt to revoke it.
actions["reconcile"] = {["disabled"] = suspended and not deleting, ["iconClass"] = "fa fa-fw fa-redo"}
actions["suspend"] = {["disabled"] = suspended or deleting, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = not suspended or deleting, ["iconClass"] = "fa fa-fw fa-play"}
return actions
