def misc_cases():
    return ()
