"""The page in a browser (`runslot view`): its server, who may ask it, its parts, what it is sent as
runs go on."""
