def quant_cases():
    return ()
