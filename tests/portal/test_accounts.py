def test_smoke(portal):
    from include.operations_statement_tables import STATEMENT_REGISTRY
    with portal.ws.operations.connect() as c:
        bn = c.execute(STATEMENT_REGISTRY.select().limit(1)).first().bn15
    a = portal.get(f"/accounts/{bn}")
    open("/tmp/pacc_out.html","w").write(a.text)
    assert a.status_code == 200, a.text
    for path in ("transactions", "export_declarations", "statements/2021-12"):
        a = portal.get(f"/accounts/{bn}/{path}")
        open(f"/tmp/pacc_{path[:4]}.html","w").write(a.text)
        assert a.status_code == 200, a.text
