-- HEP3 for a tshark that does not know it: fields of the generic chunks, and SIP and JSON within.
local hep = Proto("hep3", "Homer Encapsulation Protocol 3")
local f = hep.fields
f.source = ProtoField.ipv4("hep3.src", "Source")
f.dest = ProtoField.ipv4("hep3.dst", "Destination")
f.source_port = ProtoField.uint16("hep3.src_port", "Source port")
f.dest_port = ProtoField.uint16("hep3.dst_port", "Destination port")
f.protocol = ProtoField.uint8("hep3.protocol", "IP protocol")
f.seconds = ProtoField.uint32("hep3.seconds", "Seconds")
f.micros = ProtoField.uint32("hep3.micros", "Microseconds")
f.kind = ProtoField.uint8("hep3.type", "Protocol type")
f.capture = ProtoField.uint32("hep3.capture_id", "Capture agent")
f.password = ProtoField.string("hep3.password", "Password")
f.correlation = ProtoField.string("hep3.correlation", "Correlation id")
f.payload = ProtoField.string("hep3.payload", "Payload")

local chunks = {
  [2] = f.protocol, [3] = f.source, [4] = f.dest, [7] = f.source_port, [8] = f.dest_port, [9] = f.seconds, [10] = f.micros,
  [11] = f.kind, [12] = f.capture, [14] = f.password, [15] = f.payload, [17] = f.correlation,
}
local within = {[1] = Dissector.get("sip"), [5] = Dissector.get("json")}

function hep.dissector(buffer, pinfo, tree)
  if buffer(0, 4):string() ~= "HEP3" or buffer(4, 2):uint() ~= buffer:len() then return 0 end
  local top, at, kind, payload = tree:add(hep, buffer()), 6, nil, nil
  while at < buffer:len() do
    local id, size = buffer(at + 2, 2):uint(), buffer(at + 4, 2):uint()
    local value = buffer(at + 6, size - 6)
    if chunks[id] then top:add(chunks[id], value) end
    if id == 11 then kind = value:uint() end
    if id == 15 then payload = value end
    at = at + size
  end
  if payload and within[kind] then within[kind]:call(payload:tvb(), pinfo, tree) end
end

DissectorTable.get("udp.port"):add_for_decode_as(hep)
