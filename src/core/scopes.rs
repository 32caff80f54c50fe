//! Access scopes: parsing, and what is missing.

use std::collections::BTreeSet;

/// Parses Shopify's comma-separated list.
#[must_use]
pub fn parse(list: &str) -> Vec<String> {
    let scopes: BTreeSet<&str> = list.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
    scopes.into_iter().map(str::to_owned).collect()
}

/// The required scopes that `granted` lacks. `write_x` implies `read_x`: Shopify's lists collapse
/// the implied one (<https://shopify.dev/docs/api/usage/access-scopes>).
#[must_use]
pub fn missing<'a>(required: &'a [String], granted: &[String]) -> Vec<&'a str> {
    let has = |scope: &str| granted.iter().any(|g| g == scope);
    let implied = |scope: &str| match scope.split_once("read_") {
        Some((prefix, rest)) if prefix.is_empty() || prefix == "unauthenticated_" => {
            has(&format!("{prefix}write_{rest}"))
        }
        _ => false,
    };
    required.iter().map(String::as_str).filter(|scope| !has(scope) && !implied(scope)).collect()
}

/// Whether two lists grant the same: one may name what the other implies.
#[must_use]
pub fn equivalent(a: &[String], b: &[String]) -> bool {
    missing(a, b).is_empty() && missing(b, a).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_list_grants_the_same() {
        assert!(equivalent(&parse("write_products"), &parse("read_products,write_products")));
        assert!(!equivalent(&parse("write_products"), &parse("read_products")));
    }

    #[test]
    fn write_implies_read() {
        let granted = parse("write_products, unauthenticated_write_checkouts,read_orders");
        let required = |list: &str| parse(list);
        assert!(missing(&required("read_products,write_products,unauthenticated_read_checkouts"), &granted).is_empty());
        assert_eq!(missing(&required("write_orders,read_themes"), &granted), ["read_themes", "write_orders"]);
    }
}
