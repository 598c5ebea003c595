print("about to break")
raise RuntimeError("cannot load")
